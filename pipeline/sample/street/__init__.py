"""The scene around the traffic: sky, ground, road, roadside, and where everything stands."""
