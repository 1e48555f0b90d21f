"""From conversations to token ids and back: templates, where a response lies, edits that survive."""
