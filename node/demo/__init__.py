"""Demonstrations: whole systems on one machine, walked through step by step by the command line that everybody has.

A demonstration is a module with `show(stage)`. It says in plain words what it does, runs what people would type, and checks
what comes out: if something is not as it says, it ends with `DemoFailed`. Whatever it started ends with it.
"""
