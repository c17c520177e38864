"""What processes, threads and loops need, whatever they do."""
