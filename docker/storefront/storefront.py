"""An example shop: lists products with pictures and, for each, similar products. Uses only the standard library.

Variables: SPIKELENS_URL, SPIKELENS_KEY_FILE (optional), LISTEN (address:port).
"""
import html
import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URL = os.environ.get("SPIKELENS_URL", "http://127.0.0.1:8080")
KEY_FILE = os.environ.get("SPIKELENS_KEY_FILE")
HOST, PORT = os.environ.get("LISTEN", "127.0.0.1:8000").rsplit(":", 1)
STYLE = "body{font:16px sans-serif;margin:2rem}a{display:inline-block;width:9rem;vertical-align:top;margin:.5rem;color:inherit}img{width:8rem;height:8rem;object-fit:contain;background:#eee}"


def ask(path):
    request = urllib.request.Request(URL + path)
    if KEY_FILE:
        request.add_header("Authorization", "Bearer " + pathlib.Path(KEY_FILE).read_text().strip())
    return urllib.request.urlopen(request, timeout=10)


def card(product):
    name = urllib.parse.quote(product["id"], safe="")
    picture = urllib.parse.quote(product["pictures"][0]["id"], safe="")
    title = html.escape(product["title"] or product["id"])
    return f'<a href="/products/{name}"><img src="/pictures/{name}/{picture}" alt="">{title}</a>'


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            self.answer()
        except urllib.error.HTTPError as error:
            self.send(error.code, "text/plain", error.read())
        except OSError as error:
            self.send(502, "text/plain", f"the search does not answer: {error}".encode())

    def answer(self):
        parts = self.path.strip("/").split("/")
        if parts == [""]:
            products = json.load(ask("/v1/products?limit=40"))["products"]
            self.page("Everything", products)
        elif parts[0] == "products" and len(parts) == 2:
            product = json.load(ask(f"/v1/products/{parts[1]}"))
            matches = json.load(ask(f"/v1/products/{parts[1]}/similar?k=12"))["matches"]
            self.page("Looks like this", [product], [found["product"] for found in matches])
        elif parts[0] == "pictures" and len(parts) == 3:
            found = ask(f"/v1/products/{parts[1]}/pictures/{parts[2]}")
            self.send(200, found.headers["Content-Type"], found.read())
        else:
            self.send(404, "text/plain", b"there is nothing here")

    def page(self, title, *rows):
        body = "<hr>".join("".join(map(card, row)) for row in rows) or "nothing"
        page = f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}<p><a href="/">Everything</a>'
        self.send(200, "text/html; charset=utf-8", page.encode())

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer((HOST, int(PORT)), Shop).serve_forever()
