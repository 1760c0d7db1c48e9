"""What is written for one agent, lifted over the rows of a stack: traced, run or compiled."""
