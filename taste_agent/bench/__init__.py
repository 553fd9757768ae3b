"""`taste-agent bench`: what each step of hearing, thinking and speaking costs."""
