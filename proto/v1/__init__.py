"""The contracts of package `biaojie.v1` and their generated stubs (`make proto`)."""
