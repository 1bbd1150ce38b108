"""Which task meets which scene, and who owes an answer: matching and the two ledgers."""
