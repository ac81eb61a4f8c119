"""Wrong passes, each wrong only in a corner; what verifies must catch every one of them."""
