"""What people do with tasks, runs and queues; each action is noted, and says what it did."""
