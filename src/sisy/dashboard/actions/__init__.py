"""The actions on tasks, runs and queues. Each is logged, and reports what it did."""
