"""Sources: rows of enterprises' own systems, registered here. `README.md` says how one is described and what it does."""
