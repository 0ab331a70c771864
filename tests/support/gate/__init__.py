"""An invented system and its adapter, as CONTRIBUTING.md says that one is written: a folder and no more. See README.md."""
