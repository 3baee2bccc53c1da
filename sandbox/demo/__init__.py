"""The main job on a real cluster made for it, with a proof at the end."""
