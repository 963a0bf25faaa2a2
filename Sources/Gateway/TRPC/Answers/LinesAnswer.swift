import Fleet
import HTTPTypes
import NIOCore
import Synchronization

/// The answer to `trpc-accept: application/jsonl`: a head that promises an answer to each call, then a line for each as
/// it is ready. (The format is the one of tRPC's `stream/jsonl`, in its shortest form.)
///
///     {"0":[[0],[null,0,0]],"1":[[{"error":…}]]}     0: a promise, chunk 0; 1: known already
///     [0,0,[[{"result":{"data":…}}]]]                 chunk 0 is fulfilled
///
/// A run that is handed out value by value is a promise of an iterable:
///
///     [0,0,[[{"result":0}],["result",0,2]]]           `result` is a promise, chunk 2
///     [2,0,[[{"data":0}],["data",1,3]]]               `data` is an iterable, chunk 3
///     [3,1,[[{"type":"stdout","data":"a"}]]]          a value
///     [3,0,[[{"exitCode":0}]]]                        the return value; [3,2,{"message":…}] throws
struct LinesAnswer: Sendable {
    let exchange: Exchange
    let request: TRPCRequest
    let headers: HTTPFields
    let keepAlive: Duration  // how often a space between lines shows that somebody is there

    func answer(_ calls: [PlannedCall]) async throws {
        try await exchange.whileClientListens {
            var headers = headers
            headers[.contentType] = "application/json"
            headers[.accelBuffering] = "no"
            let stream = try await exchange.stream(headers: headers)
            try await stream.write(head(calls))
            let sinks = calls.enumerated().map { index, call in
                LineSink(stream: stream, call: call, requestID: exchange.id, index: index, count: calls.count)
            }
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        while true {
                            try await Task.sleep(for: keepAlive)
                            try await stream.writeSignOfLife(ByteBuffer(string: " "))
                        }
                    }
                    group.addTask { try await makeAll(calls, sinks) }
                    defer { group.cancelAll() }
                    try await group.next()
                }
                try await stream.finish()
            } catch is CancellationError where exchange.isCutShort {
                var lastWords = ByteBuffer()
                for sink in sinks {
                    if let line = sink.lastLine(.failure(TRPCFault(.cutShort))) { lastWords.writeImmutableBuffer(line) }
                }
                await stream.finishRegardless(lastWords)
                throw CancellationError()
            }
        }
    }

    private func makeAll(_ calls: [PlannedCall], _ sinks: [LineSink]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (call, sink) in zip(calls, sinks) {
                guard case .success = call.readiness else { continue }  // it is in the head
                group.addTask {
                    let outcome = try await call.outcome(handingTo: sink)
                    if let line = sink.lastLine(outcome) { try await sink.stream.write(line) }
                    withExtendedLifetime(outcome) {}
                }
            }
            try await group.waitForAll()
        }
    }

    private func head(_ calls: [PlannedCall]) -> ByteBuffer {
        var head = ByteBuffer(string: "{")
        for (index, call) in calls.enumerated() {
            head.writeString(index == 0 ? "\"\(index)\":" : ",\"\(index)\":")
            switch call.readiness {
            case .success: head.writeString("[[0],[null,0,\(index)]]")
            case .failure(let fault):
                let path = request.fault == nil ? call.path : nil
                head.writeString("[[")
                head.writeImmutableBuffer(Envelope.joined(.failure(fault), path: path, requestID: exchange.id))
                head.writeString("]]")
            }
        }
        head.writeString("}\n")
        return head
    }
}

/// The lines of one call. Each is one write, so that those of other calls, and the spaces, fall between them.
final class LineSink: ValueSink {
    private enum Phase {
        case promised
        case iterating
        case ended
    }

    let stream: ResponseStream
    private let path: String
    private let requestID: String
    private let promise: Int
    private let result: Int
    private let iterable: Int
    private let phase: Mutex<Phase>

    /// Of the call `index` among `count`; chunk ids are unique in the answer. A call that was refused is settled by the
    /// head.
    init(stream: ResponseStream, call: PlannedCall, requestID: String, index: Int, count: Int) {
        self.stream = stream
        path = call.path
        self.requestID = requestID
        promise = index
        result = count + 2 * index
        iterable = count + 2 * index + 1
        let isPromised = if case .success = call.readiness { true } else { false }
        phase = Mutex(isPromised ? .promised : .ended)
    }

    func begin(at position: String, isTracked: Bool) async throws {
        phase.withLock { $0 = .iterating }
        try await stream.write(
            ByteBuffer(
                string: "[\(promise),0,[[{\"result\":0}],[\"result\",0,\(result)]]]\n"
                    + "[\(result),0,[[{\"data\":0}],[\"data\",1,\(iterable)]]]\n"))
    }

    func yield(_ values: [StreamedValue]) async throws {
        var lines = ByteBuffer()
        for value in values {
            lines.writeString("[\(iterable),1,[[")
            lines.writeImmutableBuffer(value.json)
            lines.writeStaticString("]]]\n")
        }
        try await stream.write(lines)
    }

    /// The line that settles the call; `nil` if it is settled.
    func lastLine(_ outcome: Result<Outcome, TRPCFault>) -> ByteBuffer? {
        let before = phase.withLock { phase in
            defer { phase = .ended }
            return phase
        }
        var line = ByteBuffer()
        switch (before, outcome) {
        case (.promised, _):
            line.writeString("[\(promise),0,[[")
            line.writeImmutableBuffer(Envelope.joined(outcome, path: path, requestID: requestID))
            line.writeStaticString("]]]\n")
        case (.iterating, .success(let outcome)):
            line.writeString("[\(iterable),0,[[")
            for piece in outcome.pieces { line.writeImmutableBuffer(piece) }
            line.writeStaticString("]]]\n")
        case (.iterating, .failure(let fault)):
            line.writeString("[\(iterable),2,")
            line.writeImmutableBuffer(fault.shape(path: path, requestID: requestID))
            line.writeStaticString("]\n")
        case (.ended, _): return nil
        }
        return line
    }
}
