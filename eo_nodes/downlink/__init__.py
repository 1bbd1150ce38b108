"""What goes down next, and how much of it fits: queue, order, byte budgets."""
