# SPDX-License-Identifier: Apache-2.0
import requests
import json

API_KEY = "your_api_key_here"
BASE_URL = "https://api.gravixlayer.com"

headers = {
    "Authorization": f"Bearer {API_KEY}",
    "Content-Type": "application/json"
}

# Create sandbox
response = requests.post(
    f"{BASE_URL}/v1/agents/sandboxes",
    headers=headers,
    json={
        "provider": "gravix",
        "region": "eu-west-1",
        "template": "python-base-v1",
        "timeout": 600
    }
)

sandbox = response.json()
sandbox_id = sandbox["sandbox_id"]
print(f"Created sandbox: {sandbox_id}")

# Run code
response = requests.post(
    f"{BASE_URL}/v1/agents/sandboxes/{sandbox_id}/code/run",
    headers=headers,
    json={
        "code": "print('Hello from Python!')",
        "language": "python"
    }
)

result = response.json()
print(f"Output: {result['logs']['stdout']}")

# Kill sandbox
requests.delete(
    f"{BASE_URL}/v1/agents/sandboxes/{sandbox_id}",
    headers=headers
)
