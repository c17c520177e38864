"""What the pages ask the database: bounded, however many tasks and runs there are."""
