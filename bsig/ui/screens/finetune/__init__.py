"""The Fine-tune screen: a form, a line of runs, and a run's progress."""
