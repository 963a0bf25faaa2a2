import ArgumentParser
import Client

struct QuotaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota", abstract: "Show what you may have and what you have of it.")

    @OptionGroup var answer: AnswerOptions

    func run() async throws {
        try await answer.show(try await answer.client().call("GET", "/v1/quota")) { answer, style in
            QuotaTable.text(answer["quota"] ?? .null, style)
        }
    }
}
