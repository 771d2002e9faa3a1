package recognise

// given are the commonest given names met in France. They only settle the order of a
// name printed all in capitals; one that is missing costs nothing but that.
var given = words(`
adam adele adele adeline adrien adrienne agathe agnes ahmed aicha alain alan albane albert alex alexandra alexandre alexia alexis alice alicia aline alix alma alphonse amandine amara
ambre amelie amina amine amir ana anais andre andrea andree ange angela angele angelique anissa anita anna annabelle anne annick annie anouk anthony antoine antonio antony apolline
aria ariane aristide armand armelle arnaud arthur assia astrid aubin aude audrey augustin aurelie aurelien aurore axel axelle ayoub aya aziz baptiste barbara bastien beatrice benedicte
benjamin benoit bernadette bernard bertrand bilal blanche boris brahim brice brigitte bruno camille candice capucine carine carla carole caroline cassandre catherine cecile cedric celeste
celia celine celian chantal charlene charles charlie charlotte cheick chloe christelle christian christiane christine christophe claire clara clarisse claude claudette claudia claudine clea clemence
clement clementine clotilde colette colin coline come constance constant coralie corentin corinne cyril cyrille damien dan daniel daniele danielle danny daphne david deborah delphine denis
denise diana diane dibril didier diego dimitri djibril dominique dorian doriane dylan eden edgar edith edmond edouard edwige elena eleonore eliane elias eliott elisa elisabeth elise
eliot ella elodie elsa elyes emeline emile emilie emilien emma emmanuel emmanuelle emmy enora enzo eric erika erwan estelle esteban esther etienne etan eva evan eve eveline evelyne ewen
fabien fabienne fabio fabrice fadila fanny fares farid farida fatima fatiha fatou fatoumata felicie felix fernand ferdinand fiona flavie flora florence florent florian france francine francis franck francois
francoise frederic frederique gabin gabriel gabrielle gael gaelle gaetan gaspard gaston genevieve geoffrey george georges georgette gerald geraldine gerard germain germaine ghislaine gilbert
gilles gisele giulia grace graziella gregoire gregory guillaume gustave guy gwenael gwenaelle habib hadrien hakim hamza hanna hannah hassan hector helena helene heloise henri henriette herve hicham
hubert hugo hugues ibrahim ibrahima idriss ilan ilyes iman imane imran ines irene iris isaac isabelle isaure ismael issa ivan jacqueline jacques jade jamel james jamila jan jason jean jeanine jeanne
jeannine jennifer jeremie jeremy jerome jessica jihane joachim joan joao joel joelle johan johanna john johnny jonas jonathan jordan jose joseph josephine josette josiane josselin joy joyce juan judith jules julia julian
juliana julie julien julienne juliette june justin justine kader kamel karim karima karine karl katia kelly kenza kevin khadija khalid killian kylian laetitia laila lamia lana lara laura laure laurence laurent
laurie laurine lea leandre leandro leila lena lenny leo leon leonard leonie leopold leslie liam lila lilas lili lilia lilian liliane lilou lina linda line lino lisa lise lison livia locan loan loane logan
loic lola lorenzo lou louane louis louisa louise louka loup luc luca lucas luce lucette lucia lucie lucien lucienne lucile lucy ludivine ludovic luis luka lukas luna lya lydia lydie lyna lyne madeleine madeline
mae mael maelie maelle maelys maeva magali mahamadou mahe maia maimouna mai maina malek malik malika malo malika mamadou manel manon manuel marc marceau marcel marcelle margaux margot marguerite maria mariam mariama marianne
marie marielle marilyne marin marina marine marion marius marlene marta marthe martin martine marvin maryam maryse mateo matheo mathias mathieu mathilde mathis mathys matteo matthias matthieu maud maurice
max maxence maxime maya mehdi melanie melina melissa melodie melvin mendy mia michael michel michele micheline mickael mila milan milo mina mireille mohamed mohammed moise molly monique morgan morgane moussa
mouna mustapha myriam nabil nadege nadia nadine naim naima nais nassim natacha nathalie nathan nathanael nawel neil nelly nicolas nicole nina nino noa noah noam noe noel noelle noemie nolan nolwenn nora norah norbert nour noura
oceane octave odette odile olga olive oliver olivia olivier omar ophelie oriane orlane oscar ousmane owen pablo paloma pascal pascale patrice patricia patrick paul paula paule paulette pauline pedro perrine peter philippe
pierre pierrette pierrick priscilla prune quentin rachel rachid rafael rahim raphael raphaelle rania raoul rayan raymond raymonde rebecca regine regis remi remy renaud rene renee richard rim rita robert robin roger
roland romain romane romeo romuald romy rosa rosalie rose roselyne roxane ruben ryan sabine sabrina sacha said salah salim salima salome salma sam sami samia samir samira samuel samy sana sandra sandrine sara sarah sasha saul
sebastien segolene selena selim selma serena serge severine shana sibylle simon simone sixtine soan sofia sofiane solal solange solene soline sonia sophia sophie soraya stanislas stephane stephanie steve steven suzanne suzy swann
sylvain sylvaine sylvette sylviane sylvie tania tatiana tea teo teddy thea theo theodore theophile therese thibaud thibault thierry thomas tiago tifany tiffany timeo timothe timothee titouan tom tomas tony toufik tristan ugo ulysse ursula
valentin valentine valerie vanessa vera veronique vianney vickie victoire victor victoria vincent violaine violette virginie viviane wael walid wassim wendy wilfried william xavier yacine yael yan yanis yann yannick yara yasmina yasmine yassine
yohan yolande yoann yohann youcef youssef yves yvette yvon yvonne zachary zahra zakaria zelie zoe zohra zoheir natacha`)

// surnames are given names that are surnames more often.
var surnames = words(`martin thomas simon robin andre henry clement roger gautier rolland marin marion aubin valentin germain rose adam rey hubert
blanche colin renard leger fabre lucas noel leon auguste ali diallo salah moussa issa said arnaud gilles remy regis benoit richard guillaume julien charles`)
