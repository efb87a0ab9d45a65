"""Real recordings: the music of Debian's free games, with what its tags say."""
