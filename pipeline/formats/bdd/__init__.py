"""BDD100K's JSON labels, of every release."""
