"""What is kept and read: the trial store, artifacts, task data sets, unlabelled text."""
