"""What is measured of reward models and policies beside a campaign's own figures."""
