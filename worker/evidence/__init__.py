"""Where facts about images come from."""
