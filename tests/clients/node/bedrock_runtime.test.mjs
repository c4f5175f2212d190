// The AWS SDK for JavaScript, unchanged, with the HTTP/2 handler that is its default for Bedrock.
// It sees nothing of Craton but the variables of `craton env`.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { after, test } from "node:test";

import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const modelId = process.env.CRATON_TEST_MODEL;
const endpoint = process.env.AWS_ENDPOINT_URL;
const client = new BedrockRuntimeClient({ maxAttempts: 1 });
after(() => client.destroy());

const asking = (text) => ({ modelId, messages: [{ role: "user", content: [{ text }] }] });

test("the client speaks HTTP/2 by default", () => {
  assert.equal(client.config.requestHandler.metadata.handlerProtocol, "h2");
});

test("converse answers", async () => {
  const answer = await client.send(new ConverseCommand(asking("hello from node")));
  assert.match(answer.output.message.content[0].text, /hello from node/);
  assert.equal(answer.stopReason, "end_turn");
  assert.equal(answer.usage.totalTokens, answer.usage.inputTokens + answer.usage.outputTokens);
  assert.ok(answer.$metadata.requestId);
});

test("converseStream gives every event", async () => {
  const answer = await client.send(new ConverseStreamCommand(asking("one two three")));
  const kinds = [];
  let text = "";
  for await (const event of answer.stream) {
    kinds.push(Object.keys(event)[0]);
    text += event.contentBlockDelta?.delta.text ?? "";
  }
  assert.match(text, /one two three/);
  assert.deepEqual(kinds.slice(-3), ["contentBlockStop", "messageStop", "metadata"]);
});

test("many requests run side by side", async () => {
  const texts = Array.from({ length: 200 }, (_, number) => `number ${number}.`);
  const answers = await Promise.all(
    texts.map((text) => client.send(new ConverseCommand(asking(text)))),
  );
  answers.forEach((answer, number) => {
    assert.ok(answer.output.message.content[0].text.includes(texts[number]));
  });
});

test("a large prompt goes through every window", async () => {
  const text = "word ".repeat(100_000);
  const answer = await client.send(
    new ConverseCommand({ ...asking(text), inferenceConfig: { maxTokens: 10 } }),
  );
  assert.equal(answer.stopReason, "max_tokens");
});

test("a stream that is left half read leaves the others alone", async () => {
  const controller = new AbortController();
  const left = await client.send(new ConverseStreamCommand(asking("left ".repeat(5_000))), {
    abortSignal: controller.signal,
  });
  for await (const event of left.stream) {
    if (event.contentBlockDelta) break;
  }
  controller.abort();
  const answer = await client.send(new ConverseCommand(asking("still here")));
  assert.match(answer.output.message.content[0].text, /still here/);
});

test("errors are the SDK's own classes", async () => {
  const unknown = { ...asking("x"), modelId: "no.such-model" };
  await assert.rejects(client.send(new ConverseCommand(unknown)), (error) => {
    assert.equal(error.name, "ResourceNotFoundException");
    assert.equal(error.$metadata.httpStatusCode, 404);
    return true;
  });
});

test("a request whose signature is wrong is refused", async () => {
  const stranger = new BedrockRuntimeClient({
    maxAttempts: 1,
    credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" },
    authSchemePreference: ["sigv4"],
  });
  await assert.rejects(stranger.send(new ConverseCommand(asking("x"))), {
    name: "InvalidSignatureException",
  });
  stranger.destroy();
});

test("HTTP/2 was spoken on that port", async () => {
  const session = http2.connect(endpoint);
  const stream = session.request({ ":path": "/healthz" });
  const [headers] = await new Promise((resolve, reject) => {
    stream.on("response", (...told) => resolve(told));
    session.on("error", reject);
  });
  assert.equal(headers[":status"], 200);
  stream.resume();
  session.close();
});
