"""What authors and instructors use: the `course` command and the code behind it.

The top layer: it may import every other module, and no teaching module imports it.
"""
