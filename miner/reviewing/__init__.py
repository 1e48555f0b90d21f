"""People in the loop: a run's findings as web pages, to look through and to judge."""
