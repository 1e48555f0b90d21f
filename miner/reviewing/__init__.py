"""People in the loop: a run's pages, to look through and to judge."""
