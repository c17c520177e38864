"""What dashboard and commands ask the database: bounded, however many tasks and runs there are."""
