"""torchvision's MobileNetV2 behind FastAPI, as its tutorials have it; `benchmarks/serving.py` asks.

    python with_torch.py MODEL PORT WORKERS

Handlers run in threads, as many as WORKERS, each computing one picture with one thread of torch:
quicker under load than FastAPI's usual 40 threads.
"""

import sys

import anyio.to_thread
import torch
import torchvision
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

MODEL, PORT, WORKERS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CLASSES = [str(index) for index in range(1000)]

torch.set_num_threads(1)
net = torchvision.models.mobilenet_v2()
net.load_state_dict(torch.load(MODEL))
net.eval()
preprocess = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
app = FastAPI()


@app.get("/limit")
async def limit() -> None:
    """Set the number of threads, which only the event loop can."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS


@app.post("/predict")
def predict(file: UploadFile) -> dict:
    """The five most probable classes."""
    pixels = preprocess(Image.open(file.file).convert("RGB"))
    with torch.inference_mode():
        best = net(pixels[None]).softmax(1)[0].topk(5)
    return {
        "predictions": [
            {"label": CLASSES[index], "index": index, "probability": probability}
            for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
    }


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
