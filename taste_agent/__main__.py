"""`python -m taste_agent` is `taste-agent`."""

from taste_agent.cli import main

main()
