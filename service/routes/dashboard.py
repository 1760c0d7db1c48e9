"""The dashboard's files and Plotly's script, taken from the installed `plotly` package.

Invariant: only files below `service/dashboard` are served; a page may load nothing from elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache, lru_cache
from importlib import metadata, util
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

ROOT = Path(__file__).resolve().parent.parent / "dashboard"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Plotly sets inline styles and, to save a chart as a picture, draws data: and blob: images.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
REVALIDATE = "no-cache"
FOR_A_YEAR = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
def index(request: Request) -> Response:
    """The one page; its views are chosen by the part of the address after ``#``."""
    return _answer(request, _page(), ".html", REVALIDATE)


@router.api_route("/static/plotly.min.js", methods=["GET", "HEAD"])
def plotly(request: Request) -> Response:
    """Plotly's script; kept for a year where the address names the version (the page's does)."""
    current = request.query_params.get("v") == plotly_version()
    cache_control = FOR_A_YEAR if current else REVALIDATE
    zipped = "gzip" in request.headers.get("accept-encoding", "").lower()
    body = _plotly_zipped() if zipped else _plotly_file().read_bytes()
    response = _answer(request, body, ".js", cache_control)
    response.headers["Vary"] = "Accept-Encoding"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    return response


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
def static(request: Request, path: str) -> Response:
    """A file of the dashboard; 404 for what is not one."""
    file = _files().get(path)
    if file is None:
        raise HTTPException(404, f"the dashboard has no file {path[:200]!r}")
    return _answer(request, file.read_bytes(), file.suffix, REVALIDATE)


@cache
def plotly_version() -> str:
    """The version of the installed `plotly` package, which brings its own plotly.js."""
    return metadata.version("plotly")


def _files() -> dict[str, Path]:
    return {
        file.relative_to(ROOT).as_posix(): file
        for file in ROOT.rglob("*")
        if file.suffix in TYPES and file.is_file()
    }


def _page() -> bytes:
    page = (ROOT / "index.html").read_text(encoding="utf-8")
    return page.replace("{{plotly_version}}", plotly_version()).encode()


@cache
def _plotly_file() -> Path:
    found = util.find_spec("plotly")
    if found is None or found.origin is None:
        raise HTTPException(404, "the Python package plotly is not installed: pip install plotly")
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


@lru_cache(maxsize=1)
def _plotly_zipped() -> bytes:
    return gzip.compress(_plotly_file().read_bytes(), compresslevel=6, mtime=0)


def _answer(request: Request, body: bytes, suffix: str, cache_control: str) -> Response:
    """`body` with its headers, or 304 where the browser has it already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": cache_control,
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    held = [
        tag.strip().removeprefix("W/")
        for tag in request.headers.get("if-none-match", "").split(",")
    ]
    if etag in held or "*" in held:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=TYPES[suffix])
