// Vercel's AI SDK, unchanged, through its OpenAI, Anthropic and Bedrock providers.

import assert from "node:assert/strict";
import test from "node:test";
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const MODEL = "huggingfacetb.smollm2-135m-instruct";
const ASKED = {
  system: "Be brief.",
  prompt: "What is the capital of France?",
  temperature: 0,
  maxOutputTokens: 48,
  maxRetries: 0,
};
const environment = process.env;
const openai = createOpenAI({ baseURL: environment.OPENAI_BASE_URL });
const anthropic = createAnthropic({ baseURL: `${environment.ANTHROPIC_BASE_URL}/v1` });
const bedrock = createAmazonBedrock({ baseURL: environment.AWS_ENDPOINT_URL });
const models = {
  "OpenAI chat": openai.chat(MODEL),
  "OpenAI responses": openai.responses(MODEL),
  Anthropic: anthropic(MODEL),
  Bedrock: bedrock(MODEL),
};

for (const [name, model] of Object.entries(models)) {
  test(`${name} answers`, async () => {
    const answer = await generateText({ model, ...ASKED });
    assert.match(answer.text, /Paris/);
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.outputTokens > 0);
  });

  test(`${name} streams`, async () => {
    const answer = streamText({ model, ...ASKED });
    let text = "";
    for await (const piece of answer.textStream) text += piece;
    assert.match(text, /Paris/);
    assert.ok((await answer.usage).outputTokens > 0);
  });

  test(`${name} calls a tool that must be called`, async () => {
    const weather = tool({
      description: "The weather in a city",
      inputSchema: z.object({ city: z.string() }),
    });
    const answer = await generateText({
      model,
      ...ASKED,
      prompt: "What is the weather in Paris?",
      tools: { weather },
      toolChoice: { type: "tool", toolName: "weather" },
    });
    assert.equal(answer.toolCalls.length, 1);
    assert.equal(typeof answer.toolCalls[0].input.city, "string");
    assert.equal(answer.finishReason, "tool-calls");
  });

  test(`${name} fills a form`, async () => {
    const schema = z.object({ name: z.string(), country: z.string() });
    const answer = await generateText({
      model,
      ...ASKED,
      prompt: "Paris is the capital of France. Which city is it?",
      maxOutputTokens: 400,
      output: Output.object({ schema }),
    });
    assert.equal(typeof answer.output.country, "string");
  });
}

test("a wrong key is refused with the server's own words", async () => {
  const wrong = createOpenAI({ baseURL: environment.OPENAI_BASE_URL, apiKey: "sk-wrong-key-0000" });
  await assert.rejects(generateText({ model: wrong.chat(MODEL), ...ASKED }), (error) => {
    assert.equal(error.statusCode, 401);
    assert.match(error.message, /Incorrect API key/);
    return true;
  });
});
