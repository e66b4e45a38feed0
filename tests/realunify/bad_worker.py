"""A worker that misbehaves as its prompt says: prints, dies, dawdles, or lies about where its picture is."""

import json
import os
import sys
import time

print("a library says hello before anything else", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "hello":
        print(json.dumps({"can": ["understand", "generate"], "model": "bad"}), flush=True)
        continue
    reply = {"id": request["id"], "text": "fine"}
    prompt = request["prompt"]
    if prompt == "environment":
        reply["text"] = " ".join(sorted(os.environ))
    if prompt == "number":
        reply["text"] = os.environ["PIXELWORD_WORKER"]
    if prompt == "print":
        print("50%|#####     |", flush=True)
        print(json.dumps({"id": request["id"] - 1, "text": "late"}), flush=True)
    if prompt == "die":
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)
    if prompt == "dawdle":
        time.sleep(30)
    if prompt == "elsewhere":
        reply = {"id": request["id"], "picture": __file__}
    if prompt == "nowhere":
        reply = {"id": request["id"], "picture": os.path.join(request["folder"], "no.png")}
    if prompt == "fail":
        reply = {"id": request["id"], "error": "ValueError: no", "again": False}
    print(json.dumps(reply), flush=True)
