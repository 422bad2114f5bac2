// Takes a list of Jenkinsfiles as JSON, and gives what Groovy's own parser finds in each. As in Jenkins nothing of a declarative pipeline is
// executed: it is read from the syntax tree, and what no declarative pipeline may have is an error with its line.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.ast.builder.AstBuilder
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.CompilationFailedException
import org.codehaus.groovy.control.CompilePhase

Object read(node) {
    switch (node) {
        case BlockStatement: return node.statements.collect { read(it) }
        case ExpressionStatement: return read(node.expression)
        case ReturnStatement: return read(node.expression)
        case ClosureExpression: return node.code.statements.collect { read(it) }
        case ConstantExpression: return node.value
        case VariableExpression: return [variable: node.name]
        case PropertyExpression:
            return node.objectExpression instanceof MethodCallExpression ?
                [of: read(node.objectExpression), property: node.propertyAsString] : [variable: node.text]
        case ElvisOperatorExpression: return [elvis: [read(node.trueExpression), read(node.falseExpression)]]
        case TernaryExpression:
            return [ask: read(node.booleanExpression), yes: read(node.trueExpression), no: read(node.falseExpression)]
        case BooleanExpression: return read(node.expression)
        case ListExpression: return node.expressions.collect { read(it) }
        case MapExpression: return node.mapEntryExpressions.collectEntries { [read(it.keyExpression), read(it.valueExpression)] }
        case TupleExpression: return node.expressions.collect { read(it) }
        case MethodCallExpression: return call(node)
        case BinaryExpression:
            if (node.operation.text == '=') {
                return [set: node.leftExpression.text, value: read(node.rightExpression), line: node.lineNumber]
            }
            if (node.operation.text == '+') {
                return [plus: [read(node.leftExpression), read(node.rightExpression)]]
            }
            if (node.operation.text == '==') {
                return [equal: [read(node.leftExpression), read(node.rightExpression)], line: node.lineNumber]
            }
    }
    throw new IllegalArgumentException("line ${node.lineNumber}: a ${node.class.simpleName} is not declarative")
}

Map call(MethodCallExpression node) {
    if (!node.implicitThis) {
        throw new IllegalArgumentException("line ${node.lineNumber}: ${node.text} is not declarative")
    }
    List given = node.arguments.expressions
    boolean opens = given && given[-1] instanceof ClosureExpression
    return [
        name: node.methodAsString,
        line: node.lineNumber,
        given: (opens ? given[0..<-1] : given).collect { read(it) },
        inside: opens ? read(given[-1]) : null,
    ]
}

Object file(String text) {
    try {
        return read(new AstBuilder().buildFromString(CompilePhase.CONVERSION, false, text).first())
    } catch (CompilationFailedException | IllegalArgumentException error) {
        return [[error: error.message]]
    }
}

println JsonOutput.toJson(new JsonSlurper().parse(System.in, 'UTF-8').collect { file(it) })
