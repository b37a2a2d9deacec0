// SPDX-License-Identifier: Apache-2.0
const API_KEY = "your_api_key_here";
const BASE_URL = "https://api.gravixlayer.com";

const headers = {
    "Authorization": `Bearer ${API_KEY}`,
    "Content-Type": "application/json"
};

// Create sandbox
const createResponse = await fetch(`${BASE_URL}/v1/agents/sandboxes`, {
    method: "POST",
    headers,
    body: JSON.stringify({
        provider: "gravix",
        region: "eu-west-1",
        template: "javascript-base-v1",
        timeout: 600
    })
});

const sandbox = await createResponse.json();
const sandboxId = sandbox.sandbox_id;
console.log(`Created sandbox: ${sandboxId}`);

// Run command
const runResponse = await fetch(`${BASE_URL}/v1/agents/sandboxes/${sandboxId}/commands/run`, {
    method: "POST",
    headers,
    body: JSON.stringify({
        command: "node",
        args: ["-e", "console.log('Hello from Node.js!')"]
    })
});

const result = await runResponse.json();
console.log(`Output: ${result.stdout}`);

// Kill sandbox
await fetch(`${BASE_URL}/v1/agents/sandboxes/${sandboxId}`, {
    method: "DELETE",
    headers
});
