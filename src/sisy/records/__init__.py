"""The columns of tasks, and the types, choices and validators of all columns."""
