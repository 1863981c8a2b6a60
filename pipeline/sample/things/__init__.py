"""What is labelled in a scene: vehicles, people, bicycles, signs."""
