import ArgumentParser
import Client

struct RuntimesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtimes", abstract: "List the languages your VM runs.")

    @OptionGroup var answer: AnswerOptions

    func run() async throws {
        try await answer.show(try await answer.client().call("GET", Resource.runtime.path)) { answer, style in
            Resource.runtime.table(of: answer[Resource.runtime.many]?.values ?? [], style)
        }
    }
}
