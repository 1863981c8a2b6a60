"""What a stage needs while it runs: progress bars, locks, pools of threads and processes."""
