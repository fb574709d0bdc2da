"""What a larger budget buys: scaling laws, when to trust them, the networks to train next."""
