// Tools, answers held to a type, responses, completions and embeddings through the official Node package.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { startMaru } from "./maru.mjs";

const Forecast = z.object({
  sky: z.enum(["맑음", "흐림", "비"]),
  degrees: z.number().int().min(-40).max(50),
  hours: z.array(z.number().int()).max(3),
});
const Place = z.object({ city: z.string().max(12), sky: z.enum(["맑음", "흐림"]) });
const ASK = [{ role: "user", content: "How is the weather in Seoul?" }];
const INPUT = "How is the weather in Seoul?";

let server, client, model;

before(async () => {
  server = await startMaru();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "unused", maxRetries: 0 });
  model = (await client.models.list()).data[0].id;
});

after(async () => assert.equal(await server.stop(), 0));

const sampled = (parameters) => ({
  model,
  messages: ASK,
  temperature: 1,
  seed: 5,
  max_completion_tokens: 400,
  ...parameters,
});
const asked = (parameters) => ({ model, input: INPUT, temperature: 1, max_output_tokens: 400, ...parameters });
const weather = () => zodFunction({ name: "get_weather", parameters: Place, description: "Looks it up." });

describe("chat completions", () => {
  test("an answer is parsed into its type, whole and streamed", async () => {
    const parameters = sampled({ response_format: zodResponseFormat(Forecast, "forecast") });
    const [{ message }] = (await client.chat.completions.parse(parameters)).choices;
    Forecast.parse(message.parsed);
    assert.equal(message.refusal, null);
    const stream = client.chat.completions.stream(parameters);
    const [{ message: streamed }] = (await stream.finalChatCompletion()).choices;
    assert.deepEqual(streamed.parsed, message.parsed);
  });

  test("required calls are parsed into their type, whole and streamed", async () => {
    const parameters = sampled({ tools: [weather()], tool_choice: "required", parallel_tool_calls: false });
    const [{ message, finish_reason }] = (await client.chat.completions.parse(parameters)).choices;
    assert.equal(finish_reason, "tool_calls");
    assert.equal(message.content, null);
    const [call] = message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    Place.parse(call.function.parsed_arguments);

    const stream = client.chat.completions.stream(parameters);
    const done = [];
    stream.on("tool_calls.function.arguments.done", (event) => done.push(event));
    const [{ message: streamed }] = (await stream.finalChatCompletion()).choices;
    assert.equal(streamed.tool_calls[0].function.arguments, call.function.arguments);
    assert.deepEqual(done.map(({ name, arguments: text }) => [name, text]), [["get_weather", call.function.arguments]]);
  });

  test("calls of several choices are kept apart in a stream", async () => {
    const parameters = sampled({ tools: [weather()], tool_choice: "required", n: 2 });
    const whole = await client.chat.completions.create(parameters);
    const calls = new Map();
    for await (const chunk of await client.chat.completions.create({ ...parameters, stream: true })) {
      for (const { index, delta } of chunk.choices) {
        for (const call of delta.tool_calls ?? []) {
          const key = `${index}.${call.index}`;
          calls.set(key, (calls.get(key) ?? "") + (call.function.arguments ?? ""));
        }
      }
    }
    for (const { index, message } of whole.choices) {
      message.tool_calls.forEach((call, at) => assert.equal(calls.get(`${index}.${at}`), call.function.arguments));
    }
  });

  test("the tool runner calls functions and gives their results back", async () => {
    const places = [];
    const tool = zodFunction({
      name: "get_weather",
      parameters: Place,
      function: (place) => {
        places.push(place);
        return { degrees: 21 };
      },
    });
    // A call is asked for by name: the runner then stops when the function has been called.
    const tool_choice = { type: "function", function: { name: "get_weather" } };
    const runner = client.chat.completions.runTools(sampled({ tools: [tool], tool_choice }));
    await runner.done();
    assert.ok(places.length > 0);
    places.forEach((place) => Place.parse(place));
    assert.ok(runner.messages.some((message) => message.role === "tool"));

    const streaming = client.chat.completions.runTools(sampled({ tools: [tool], tool_choice, stream: true }));
    await streaming.done();
    assert.ok(streaming.messages.some((message) => message.role === "tool"));
  });

  test("log probabilities spell the text, whole and streamed", async () => {
    const parameters = sampled({ logprobs: true, top_logprobs: 2, max_completion_tokens: 16 });
    const [{ message, logprobs }] = (await client.chat.completions.create(parameters)).choices;
    const spelled = Buffer.from(logprobs.content.flatMap((token) => token.bytes)).toString();
    assert.ok(spelled.startsWith(message.content));
    const stream = client.chat.completions.stream(parameters);
    const final = await stream.finalChatCompletion();
    assert.deepEqual(final.choices[0].logprobs.content, logprobs.content);
  });
});

describe("responses", () => {
  test("one is created, found, continued and deleted", async () => {
    const first = await client.responses.create(asked({ metadata: { a: "b" } }));
    assert.ok(first.output_text.length > 0);
    assert.deepEqual((await client.responses.retrieve(first.id)).output, first.output);
    const second = await client.responses.create(asked({ input: "And?", previous_response_id: first.id }));
    assert.ok(second.usage.input_tokens > first.usage.input_tokens);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  });

  test("one is streamed, by events and through the helper", async () => {
    const parameters = asked({ temperature: 0 });
    const whole = await client.responses.create(parameters);
    let text = "";
    for await (const event of await client.responses.create({ ...parameters, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, whole.output_text);
    const final = await client.responses.stream(parameters).finalResponse();
    assert.equal(final.output_text, whole.output_text);
  });

  test("one is parsed into its type", async () => {
    const parameters = asked({ text: { format: zodTextFormat(Forecast, "forecast") } });
    Forecast.parse((await client.responses.parse(parameters)).output_parsed);
    Forecast.parse((await client.responses.stream(parameters).finalResponse()).output_parsed);
  });

  test("a function is called", async () => {
    const tools = [zodResponsesFunction({ name: "get_weather", parameters: Place })];
    const parameters = asked({ tools, tool_choice: "required", parallel_tool_calls: false });
    for (const response of [
      await client.responses.parse(parameters),
      await client.responses.stream(parameters).finalResponse(),
    ]) {
      const [call] = response.output;
      assert.equal(call.type, "function_call");
      Place.parse(call.parsed_arguments);
    }
  });
});

describe("completions and embeddings", () => {
  test("a prompt is echoed and scored", async () => {
    const parameters = { model, prompt: "안녕하세요, floor", max_tokens: 4, temperature: 0 };
    const [plain] = (await client.completions.create(parameters)).choices;
    const [echoed] = (await client.completions.create({ ...parameters, echo: true, logprobs: 1 })).choices;
    assert.equal(echoed.text, parameters.prompt + plain.text);
    assert.equal(echoed.logprobs.token_logprobs[0], null);
    let text = "";
    for await (const chunk of await client.completions.create({ ...parameters, stream: true })) {
      text += chunk.choices[0].text;
    }
    assert.equal(text, plain.text);
  });

  test("texts are embedded, packed and as a list", async () => {
    const input = ["Hello", "안녕"];
    const packed = (await client.embeddings.create({ model, input })).data;
    const listed = (await client.embeddings.create({ model, input, encoding_format: "float" })).data;
    packed.forEach(({ embedding }, at) => {
      assert.equal(embedding.length, listed[at].embedding.length);
      embedding.forEach((value, place) => assert.ok(Math.abs(value - listed[at].embedding[place]) < 1e-6));
      assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
    });
  });
});
