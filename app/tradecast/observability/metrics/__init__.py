"""What metrics are made of, and those of the process and its dependencies. Others stand beside what they count."""
