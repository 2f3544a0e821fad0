"""Products and pictures read by 48 clients at the same time: each read takes a connection to the database."""

from closed_loop import attack, options


def request(number):
    product = f"/v1/products/fashion-mnist-train-{number * 7919 % 60_000}"
    return "GET", product if number % 2 else f"{product}/similar?k=100", None, {}


attack(options(__doc__, clients=48), request)
