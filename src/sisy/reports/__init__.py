"""The queries of the dashboard and the commands. They stay fast as the tables grow."""
