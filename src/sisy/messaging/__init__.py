"""What is said between processes, and what is logged about runs."""
