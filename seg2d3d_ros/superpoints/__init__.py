"""A cloud's points gathered into small pieces of surface that keep the borders of objects, and labels completed over them."""
