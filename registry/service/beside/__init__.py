"""Processes beside the registry's: work that is large and in no hurry, in another interpreter, on whichever processor is free.

They are children of the registry, speak with it over one socket, and end when it does; they own nothing and write nothing.
"""
