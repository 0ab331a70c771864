"""The nouns of the system as frozen values; each file is one noun. See the glossary in ARCHITECTURE.md."""
