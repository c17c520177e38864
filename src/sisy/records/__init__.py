"""The columns of tasks and runs: types, choices, validators and changes."""
