"""Block jobs: their states, their pace, and what each kind does."""
