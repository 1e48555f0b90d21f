"""The generated parts of README.md and docs/: tables that the code or a result file already holds."""
