"""The demo: replayed prices, demo users, and the page that shows them."""
